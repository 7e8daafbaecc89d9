# RetinaNet on a dataset of your own in COCO format. docs/own_detector.md goes through it: change the four things below.
_base_ = [
    '../_base_/models/retinanet_r50_fpn.py',
    '../_base_/datasets/coco_detection.py',
    '../_base_/schedules/schedule_1x.py',
    '../_base_/det_runtime.py',
]

# 1. The classes, spelt as `categories` in your annotation files spells them, and a colour (RGB) for each to draw it in.
metainfo = dict(
    classes=('helmet', 'vest', 'cone'),
    palette=[(220, 20, 60), (0, 130, 180), (250, 170, 30)],
)

# 2. How many there are.
model = dict(bbox_head=dict(num_classes=3))

# 3. Where the data lies: in `data/own`, or in the folder named by the environment variable OWN_DATA_ROOT.
data_root = r"""{{$OWN_DATA_ROOT:data/own}}"""
train_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        metainfo=metainfo,
        ann_file='annotations/train.json',
        data_prefix=dict(img='train/'),
    )
)
val_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        metainfo=metainfo,
        ann_file='annotations/val.json',
        data_prefix=dict(img='val/'),
    )
)
test_dataloader = val_dataloader

# 4. The file that the evaluator compares with: that of the validation data.
val_evaluator = dict(ann_file=data_root + '/annotations/val.json')
test_evaluator = val_evaluator
