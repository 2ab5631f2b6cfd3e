"""W4: ResNet-20 on CIFAR-10, batch 128, SGD with momentum, one thread, fp32 and bf16.

After 160 steps the loss tells what was learned; the accuracy still scatters, by three points among the contestants in
fp32, because the running statistics lag behind the weights. What ten epochs learn is C6's question.
"""

from functools import partial

from benchmarks.race import Entry

BATCH, STEPS, DATA = 128, 160, "cifar10"


def races() -> dict[str, list[Entry]]:
    options = {"network": "resnet20", "optimiser": "sgd", "lr": 0.05, "momentum": 0.9, "batch": BATCH}
    judged = partial(Entry, loss_within=0.02, accuracy_within=0.05)
    peer = partial(judged, program="benchmarks.peers.plain:plain")
    ours = partial(judged, program="benchmarks.ours:resnet", peer=False)
    return {"sgd": [
        peer(name="plain PyTorch, data resident", options=options),
        ours(name="shinso fp32", options=options, gate=1.25),
        ours(name="shinso bf16", options={**options, "precision": "bf16"}, gate=1.8),
        peer(name="PyTorch channels_last", options={**options, "channels_last": True}),
        peer(name="PyTorch channels_last bf16", options={**options, "channels_last": True, "bf16": True}),
        peer(name="torch.compile(model)", options={**options, "compile": True}),
    ]}
