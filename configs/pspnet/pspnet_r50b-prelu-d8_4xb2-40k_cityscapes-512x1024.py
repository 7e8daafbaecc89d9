_base_ = './pspnet_r50b-relu-d8_4xb2-40k_cityscapes-512x1024.py'

# One slope per channel, at 0.25 to begin with. It starts from ReLU's weights, which does not do it justice: README.md.
model = dict(backbone=dict(act_cfg=dict(type='PReLU')))

# Part of PReLU's definition: weight decay would pull the slopes to zero, which is ReLU. All else decays as in the baseline.
optim_wrapper = dict(
    constructor='mm_frelu.WeightDecayConstructor', paramwise_cfg=dict(decays='all')
)
