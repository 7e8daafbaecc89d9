_base_ = './retinanet_mobilenet-v2-relu_fpn_1x_coco.py'

# ReLU6, with which the weights were trained: the ordinary MobileNetV2.
model = dict(backbone=dict(act_cfg=dict(type='ReLU6')))
