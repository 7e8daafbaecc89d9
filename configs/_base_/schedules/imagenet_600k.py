# ResNets on ImageNet: 600,000 steps of 256 images, with a learning rate that decreases linearly from 0.1 to 0 (FReLU paper).
train_cfg = dict(type='IterBasedTrainLoop', max_iters=600000, val_interval=10000)
val_cfg = dict()
test_cfg = dict()

# lr * (1 - step / 600000). MMEngine stops one step before `end`.
param_scheduler = [
    dict(type='PolyLR', power=1.0, eta_min=0.0, begin=0, end=600001, by_epoch=False),
]

optim_wrapper = dict(
    type='OptimWrapper',
    # Weights of two or more dimensions decay, including those of the windows; norms and biases do not.
    constructor='mm_frelu.WeightDecayConstructor',
    optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=1e-4),
)

# The learning rate is for 8 GPUs x 32 images; `tools/train.py --auto-scale-lr` scales it to yours.
auto_scale_lr = dict(enable=False, base_batch_size=256)
