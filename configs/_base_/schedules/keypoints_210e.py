# 210 epochs with Adam. The learning rate is 0.001 for 128 people per step, and is divided by 10 after epochs 170 and 200. This
# is the protocol of SimpleBaseline and HRNet. We could not verify the settings of the DY-ReLU paper.
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
