"""Pages whose records are written by `lorae reproduce`, and the page of the methods, which needs no records."""
