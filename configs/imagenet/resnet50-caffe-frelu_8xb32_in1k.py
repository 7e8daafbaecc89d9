_base_ = './resnet50-caffe-relu_8xb32_in1k.py'

# The network of the official weights: tools/test.py takes them once megengine_to_mm.py has converted them.
model = dict(backbone=dict(act_cfg=dict(type='FReLU')))
