_base_ = './pspnet_mobilenet-v2-relu-d8_4xb2-80k_cityscapes-512x1024.py'

# ReLU6, with which the weights were trained: the ordinary MobileNetV2.
model = dict(backbone=dict(act_cfg=dict(type='ReLU6')))
