_base_ = './pspnet_r101b-relu-d8_4xb2-80k_cityscapes-512x1024.py'

# The windows start at zero, so at step 0 this is its ReLU baseline; README.md says how to start from other weights.
model = dict(backbone=dict(act_cfg=dict(type='FReLU', init='identity')))
