# 210 epochs, Adam, 0.001 for 128 people a step, divided by 10 after epochs 170 and 200: the protocol of SimpleBaseline and
# HRNet, which DY-ReLU's keypoint system follows as far as we know. We could not verify the paper's own settings.
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=210, val_interval=10)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

param_scheduler = [
    dict(
        type='MultiStepLR',
        begin=0,
        end=210,
        by_epoch=True,
        milestones=[170, 200],
        gamma=0.1,
    ),
]

optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=0.001))
