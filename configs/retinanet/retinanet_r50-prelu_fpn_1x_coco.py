_base_ = './retinanet_r50-relu_fpn_1x_coco.py'

# One slope per channel, at 0.25 to begin with. It starts from ReLU's weights, which does not do it justice: README.md.
model = dict(backbone=dict(act_cfg=dict(type='PReLU')))

# Part of PReLU's definition: weight decay would pull the slopes to zero, which is ReLU. All else decays as in the baseline.
optim_wrapper = dict(
    constructor='mm_frelu.WeightDecayConstructor', paramwise_cfg=dict(decays='all')
)
