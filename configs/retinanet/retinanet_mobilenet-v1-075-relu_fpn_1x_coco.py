_base_ = [
    '../_base_/models/retinanet_mobilenet-v1-075_fpn.py',
    '../_base_/datasets/coco_detection.py',
    '../_base_/schedules/schedule_1x.py',
    '../_base_/det_runtime.py',
]
