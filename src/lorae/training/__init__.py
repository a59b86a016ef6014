"""The training loop and the schedules that steer it."""
