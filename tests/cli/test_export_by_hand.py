"""What is not made of torch's layers is trained and asked, and refused by export in one sentence."""


def test_a_network_by_hand_has_no_form_to_export(real):
    assert real("run", "basics.lenet_by_hand", "--variant", "smoke", "--threads", 1, "--out", "a").code == 0
    for form in ("onnx", "safetensors"):
        said = real("export", "a", "--to", form)
        assert said.code == 2 and "no form to export" in said.err and said.err.count("\n") == 1
