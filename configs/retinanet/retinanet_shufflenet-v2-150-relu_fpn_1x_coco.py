_base_ = [
    '../_base_/models/retinanet_shufflenet-v2-150_fpn.py',
    '../_base_/datasets/coco_detection.py',
    '../_base_/schedules/schedule_1x.py',
    '../_base_/det_runtime.py',
]
