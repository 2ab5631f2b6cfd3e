"""W3: LeNet-5 in its textbook form (61,706 parameters) on MNIST, batch 128, Adam, one thread."""

from benchmarks.race import Entry

BATCH, STEPS = 128, 400


def races() -> dict[str, list[Entry]]:
    options = {"network": "lenet", "optimiser": "adam", "lr": 0.001, "batch": BATCH}
    peer, ours = "benchmarks.peers.plain:plain", "benchmarks.ours:lenet"
    return {"adam": [
        Entry(name="plain PyTorch, data resident", program=peer, options=options),
        Entry(name="shinso", program=ours, options=options, peer=False, gate=1.3),
        Entry(name="shinso, plain kernels", program=ours, options=options, peer=False,
              environment={"SHINSO_KERNELS": "plain"}),
        Entry(name="PyTorch channels_last bf16", program=peer,
              options={**options, "channels_last": True, "bf16": True}),
        Entry(name="torch.compile(model)", program=peer, options={**options, "compile": True}),
        Entry(name="tutorial DataLoader", program="benchmarks.peers.tutorial:tutorial", options=options),
        Entry(name="Lightning", program="benchmarks.peers.lightning_mlp:trained", options=options),
    ]}
