_base_ = './retinanet_r18-relu_fpn_1xb8-demo_street-scenes.py'

# From scratch, so the windows start as the paper starts them.
model = dict(backbone=dict(act_cfg=dict(type='FReLU', init='paper')))
