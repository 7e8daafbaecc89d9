_base_ = [
    '../_base_/models/keypoints_mobilenet-v3.py',
    '../_base_/datasets/coco_keypoints_256x192.py',
    '../_base_/schedules/keypoints_210e.py',
    '../_base_/pose_runtime.py',
]
