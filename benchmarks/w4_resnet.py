"""W4: ResNet-20 on CIFAR-10, batch 128, SGD with momentum, one thread, fp32 and bf16."""

from benchmarks.race import Entry

BATCH, STEPS, DATA = 128, 160, "cifar10"


def races() -> dict[str, list[Entry]]:
    options = {"network": "resnet20", "optimiser": "sgd", "lr": 0.01, "momentum": 0.9, "batch": BATCH}
    peer, ours = "benchmarks.peers.plain:plain", "benchmarks.ours:resnet"
    return {"sgd": [
        Entry(name="plain PyTorch, data resident", program=peer, options=options),
        Entry(name="shinso fp32", program=ours, options=options, peer=False, gate=1.25),
        Entry(name="shinso bf16", program=ours, options={**options, "precision": "bf16"}, peer=False, gate=1.8),
        Entry(name="PyTorch channels_last", program=peer, options={**options, "channels_last": True}),
        Entry(name="PyTorch channels_last bf16", program=peer,
              options={**options, "channels_last": True, "bf16": True}),
        Entry(name="torch.compile(model)", program=peer, options={**options, "compile": True}),
    ]}
