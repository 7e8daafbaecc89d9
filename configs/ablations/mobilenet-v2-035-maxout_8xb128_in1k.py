_base_ = '../imagenet/mobilenet-v2-035-relu_8xb128_in1k.py'

# The maximum of two linear maps: the convolution before each site has twice the channels.
model = dict(backbone=dict(act_cfg=dict(type='Maxout', maps='conv')))
