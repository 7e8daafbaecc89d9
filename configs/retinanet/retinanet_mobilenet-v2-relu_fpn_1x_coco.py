_base_ = [
    '../_base_/models/retinanet_mobilenet-v2_fpn.py',
    '../_base_/datasets/coco_detection.py',
    '../_base_/schedules/schedule_1x.py',
    '../_base_/det_runtime.py',
]
