_base_ = [
    '../_base_/models/retinanet_r50-caffe_fpn.py',
    '../_base_/datasets/coco_detection.py',
    '../_base_/schedules/schedule_2x.py',
    '../_base_/det_runtime.py',
]
