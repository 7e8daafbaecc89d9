_base_ = './retinanet_r101-relu_fpn_2x_coco.py'

# The windows start at zero, so at step 0 this is its ReLU baseline; README.md says how to start from other weights.
model = dict(backbone=dict(act_cfg=dict(type='FReLU', init='identity')))
