# Light networks on ImageNet: 300,000 steps of 1024 images, with a learning rate that decreases linearly from 0.5 to 0
# (official code of FReLU).
train_cfg = dict(type='IterBasedTrainLoop', max_iters=300000, val_interval=10000)
val_cfg = dict()
test_cfg = dict()

# lr * (1 - step / 300000). MMEngine stops one step before `end`.
param_scheduler = [
    dict(type='PolyLR', power=1.0, eta_min=0.0, begin=0, end=300001, by_epoch=False),
]

optim_wrapper = dict(
    type='OptimWrapper',
    # Weights of two or more dimensions decay, including those of the windows; norms and biases do not.
    constructor='mm_frelu.WeightDecayConstructor',
    optimizer=dict(type='SGD', lr=0.5, momentum=0.9, weight_decay=4e-5),
)

# The learning rate is for 8 GPUs x 128 images; `tools/train.py --auto-scale-lr` scales it to yours.
auto_scale_lr = dict(enable=False, base_batch_size=1024)
