_base_ = './pspnet_r18b-relu-d4_1xb8-demo_street-scenes-128x256.py'

# From scratch, so the windows start as the paper starts them.
model = dict(backbone=dict(act_cfg=dict(type='FReLU', init='paper')))
