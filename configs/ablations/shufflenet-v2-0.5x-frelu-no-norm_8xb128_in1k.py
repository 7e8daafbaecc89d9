_base_ = './_base_/shufflenet-v2-0.5x_8xb128.py'

# No norm behind the windows.
model = dict(backbone=dict(act_cfg=dict(norm_cfg=None)))
