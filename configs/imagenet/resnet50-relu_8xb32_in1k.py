_base_ = [
    '../_base_/models/classifier_resnet50.py',
    '../_base_/datasets/imagenet.py',
    '../_base_/schedules/imagenet_600k.py',
    '../_base_/cls_runtime.py',
]
