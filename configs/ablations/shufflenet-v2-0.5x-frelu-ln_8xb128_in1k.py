_base_ = './_base_/shufflenet-v2-0.5x_8xb128.py'

# Layer norm behind the windows: over channels and positions.
model = dict(backbone=dict(act_cfg=dict(norm_cfg=dict(type='LN'))))
