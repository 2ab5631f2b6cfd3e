"""W1: MLP 784-100-10 on MNIST, batch 100, SGD and Adam, one thread."""

from benchmarks.race import Entry

BATCH, STEPS = 100, 1100
"""examples per step; steps before quality is compared: two epochs"""


def races() -> dict[str, list[Entry]]:
    result = {}
    for optimiser, lr in (("sgd", 0.1), ("adam", 0.001)):
        options = {"network": "mlp", "optimiser": optimiser, "lr": lr, "batch": BATCH}
        result[optimiser] = [
            Entry(name="plain PyTorch, data resident", program="benchmarks.peers.plain:plain", options=options),
            Entry(name="shinso", program="benchmarks.ours:mlp", options=options, peer=False, gate=1.5),
            Entry(name="shinso, plain kernels", program="benchmarks.ours:mlp", options=options, peer=False,
                  environment={"SHINSO_KERNELS": "plain"}),
            Entry(name="tutorial DataLoader", program="benchmarks.peers.tutorial:tutorial", options=options),
            Entry(name="torch.compile(model)", program="benchmarks.peers.plain:plain",
                  options={**options, "compile": True}),
            Entry(name="scikit-learn", program="benchmarks.peers.scikit:perceptron", options=options),
            Entry(name="JAX lax.scan", program="benchmarks.peers.jax_mlp:scan", options={**options, "core": 1}),
            Entry(name="Keras on JAX", program="benchmarks.peers.keras_mlp:fitted", options={**options, "core": 1},
                  environment={"KERAS_BACKEND": "jax"}),
            Entry(name="Keras on torch", program="benchmarks.peers.keras_mlp:fitted", options=options,
                  environment={"KERAS_BACKEND": "torch"}),
            Entry(name="Lightning", program="benchmarks.peers.lightning_mlp:trained", options=options),
        ]
    return result
