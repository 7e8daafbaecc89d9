_base_ = '../imagenet/shufflenet-v2-050-frelu_8xb128_in1k.py'

# Group norm behind the windows. 8 is the largest number of groups that divides every width of this network.
model = dict(backbone=dict(act_cfg=dict(norm_cfg=dict(type='GN', num_groups=8))))
