_base_ = [
    '../_base_/models/pspnet_r50b-caffe-d8.py',
    '../_base_/datasets/cityscapes_512x1024.py',
    '../_base_/schedules/schedule_80k.py',
    '../_base_/seg_runtime.py',
]

model = dict(data_preprocessor=dict(size=(512, 1024)))
