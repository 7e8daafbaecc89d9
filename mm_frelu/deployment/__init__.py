"""Export networks, from image to labels or boxes, to files that run without OpenMMLab: ONNX, TorchScript and torch.export."""
