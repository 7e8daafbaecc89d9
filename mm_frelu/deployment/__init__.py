"""Networks as files that run without OpenMMLab: ONNX, TorchScript and torch.export, from image to labels or boxes."""
