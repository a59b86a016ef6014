"""Examples in the help of each command. All name the same runs and files, so that one can follow the other."""

FIRST_STEPS = (
    "lorae train mnist --method lorae --penalty 1e-4 --epochs 3 --out runs/digits",
    "lorae evaluate runs/digits",
    "lorae sample runs/digits -n 64",
)

EXAMPLES = {
    "train": (
        "lorae train mnist --method lorae --penalty 1e-4 --epochs 3 --out runs/digits",
        "lorae train my-images --size 64 --rank auto",
        "lorae train vectors.npy --rank 0.95 --epochs 50",
    ),
    "resume": ("lorae resume runs/digits", "lorae resume runs/digits --epochs 6"),
    "sweep": (
        "lorae sweep mnist --method lorae,lorae+ --penalty 1e-5:1e-2:log --trials 40 --workers 2 --out sweeps/mnist",
        "lorae sweep vectors.npy --penalty 1e-4,1e-3 --latent-dim 4,8 --seeds 0,1 --epochs 20",
        "lorae sweep --resume sweeps/mnist",
    ),
    "data": ("lorae data mnist", "lorae data my-images --size 64"),
    "methods": ("lorae methods", "lorae methods --json"),
    "spectrum": ("lorae spectrum runs/digits", "lorae spectrum runs/digits --tolerance 1e-6"),
    "reconstruct": (
        "lorae reconstruct runs/digits -n 16",
        "lorae reconstruct runs/digits --data my-images --out mine.png",
    ),
    "report": ("lorae report runs/digits", "lorae report runs/digits runs/other --out both.html"),
    "explore": ("lorae explore runs/digits", "lorae explore runs/digits --port 0 --open"),
    "evaluate": ("lorae evaluate runs/digits", "lorae evaluate runs/digits --only fid,rank"),
    "compare": ("lorae compare runs/digits runs/other",),
    "fid": (
        "lorae fid my-images mnist:test --features digits",
        "lorae fid my-images other-images --size 64",
    ),
    "sample": (
        "lorae sample runs/digits -n 64 --sampler mixture",
        "lorae sample runs/digits -n 1000 --out samples.npy",
    ),
    "interpolate": (
        "lorae interpolate runs/digits --pairs 4",
        "lorae interpolate runs/digits --between 0,7 --between 3,5 --out paths",
    ),
    "encode": ("lorae encode runs/digits my-images --out codes.npy",),
    "decode": ("lorae decode runs/digits codes.npy --out decoded",),
    "truncate": ("lorae truncate runs/digits", "lorae truncate runs/digits --rank 8 --out runs/digits-rank8"),
    "export": ("lorae export runs/digits", "lorae export runs/digits --format onnx --out digits-onnx"),
    "reproduce": ("lorae reproduce table3 --preset smoke", "lorae reproduce all --status"),
    "cite": ("lorae cite",),
    # A line for the file that the shell reads when it starts.
    "completion": (
        'eval "$(lorae completion bash)"     # in ~/.bashrc',
        'eval "$(lorae completion zsh)"      # in ~/.zshrc, after compinit',
        "lorae completion fish | source      # in ~/.config/fish/config.fish",
    ),
}


def described(meaning: str, examples: tuple[str, ...]) -> str:
    """Return the text at the top of a help: the meaning of a command, and examples."""
    return "\n".join([meaning, "", "examples:", *(f"  {example}" for example in examples)])
