_base_ = './shufflenet-v2-100-relu_8xb128_in1k.py'

# The light form, a row and a column window, at every site: the official network.
model = dict(backbone=dict(act_cfg=dict(type='LightFReLU')))
