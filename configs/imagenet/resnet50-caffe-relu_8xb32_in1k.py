_base_ = './resnet50-relu_8xb32_in1k.py'

# As the released code has it: stride on the first 1x1 of a block, BGR pixels of 0 to 255 as they are.
data_preprocessor = dict(mean=[0.0, 0.0, 0.0], std=[1.0, 1.0, 1.0], to_rgb=False)
model = dict(backbone=dict(style='caffe'))
