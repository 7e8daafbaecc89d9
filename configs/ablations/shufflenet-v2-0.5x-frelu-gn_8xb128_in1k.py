_base_ = './_base_/shufflenet-v2-0.5x_8xb128.py'

# Group norm behind the windows. 8 is the largest number of groups that divides every width of this network.
model = dict(backbone=dict(act_cfg=dict(norm_cfg=dict(type='GN', num_groups=8))))
