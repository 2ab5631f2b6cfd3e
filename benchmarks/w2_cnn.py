"""W2: conv32 - conv64 - pool - 128 - 10 on MNIST, batch 200, Adam, one thread, fp32 and bf16."""

from benchmarks.race import Entry

BATCH, STEPS = 200, 32


def races() -> dict[str, list[Entry]]:
    options = {"network": "cnn", "optimiser": "adam", "lr": 0.001, "batch": BATCH}
    peer, ours = "benchmarks.peers.plain:plain", "benchmarks.ours:cnn"
    return {"adam": [
        Entry(name="plain PyTorch, data resident", program=peer, options=options),
        Entry(name="shinso fp32", program=ours, options=options, peer=False, gate=1.4),
        Entry(name="shinso bf16", program=ours, options={**options, "precision": "bf16"}, peer=False, gate=2.2),
        Entry(name="shinso fp32, plain kernels", program=ours, options=options, peer=False,
              environment={"SHINSO_KERNELS": "plain"}),
        Entry(name="PyTorch channels_last", program=peer, options={**options, "channels_last": True}),
        Entry(name="PyTorch channels_last bf16", program=peer,
              options={**options, "channels_last": True, "bf16": True}),
        Entry(name="torch.compile(model)", program=peer, options={**options, "compile": True}),
    ]}
