_base_ = [
    '../_base_/models/keypoints_mobilenet-v3.py',
    '../_base_/datasets/coco_keypoints_256x192.py',
    '../_base_/schedules/keypoints_210e.py',
    '../_base_/pose_runtime.py',
]

model = dict(backbone=dict(arch='small', out_indices=(11,)), head=dict(in_channels=96))
