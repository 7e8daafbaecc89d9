"""Check ReplaceActivation on configs of mmdet and mmseg, and write a Markdown table.

    python tools/analysis_tools/check_replacement.py [CONFIG ...] [--act NAME] [--act-cfg K=V ...]
        [--act-include PATTERN ...] [--act-exclude PATTERN ...] [--out FILE.md]

For each config, the model is built, its activations are replaced, its outputs are compared with those of the original model, and it is
trained for one step. No data and no weights are needed. Without CONFIG, the list below is checked, which takes a while.
"""

import argparse
import gc
import warnings
from typing import List, Optional, Sequence

import torch

import mm_frelu  # noqa: F401  (first: mmdet and mmseg need the ops that it supplies)
from mm_frelu.analysis.replacement_check import Verdict, check_config, gist
from mm_frelu.engine import UserError, exit_on_user_error
from mm_frelu.engine.act_options import add_act_arguments, nested
from mm_frelu.engine.arguments import read_config
from mm_frelu.engine.write_file import require_target, write_file

DETECTORS = (
    'retinanet/retinanet_r50_fpn_1x_coco',
    'faster_rcnn/faster-rcnn_r50_fpn_1x_coco',
    'cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco',
    'mask_rcnn/mask-rcnn_r50_fpn_1x_coco',
    'fcos/fcos_r50-caffe_fpn_gn-head_1x_coco',
    'atss/atss_r50_fpn_1x_coco',
    'gfl/gfl_r50_fpn_1x_coco',
    'foveabox/fovea_r50_fpn_4xb4-1x_coco',
    'paa/paa_r50_fpn_1x_coco',
    'yolof/yolof_r50-c5_8xb8-1x_coco',
    'yolox/yolox_tiny_8xb8-300e_coco',
    'yolo/yolov3_d53_8xb8-ms-416-273e_coco',
    'ssd/ssd300_coco',
    'ssd/ssdlite_mobilenetv2-scratch_8xb24-600e_coco',
    'rtmdet/rtmdet_tiny_8xb32-300e_coco',
    'centernet/centernet_r18_8xb16-crop512-140e_coco',
    'sparse_rcnn/sparse-rcnn_r50_fpn_1x_coco',
    'detr/detr_r50_8xb2-150e_coco',
    'conditional_detr/conditional-detr_r50_8xb2-50e_coco',
    'deformable_detr/deformable-detr_r50_16xb2-50e_coco',
    'solo/solo_r50_fpn_1x_coco',
    'yolact/yolact_r50_1xb8-55e_coco',
    'hrnet/faster-rcnn_hrnetv2p-w18-1x_coco',
    'res2net/faster-rcnn_res2net-101_fpn_2x_coco',
    'swin/mask-rcnn_swin-t-p4-w7_fpn_1x_coco',
    'vfnet/vfnet_r50_fpn_1x_coco',
    'dcn/faster-rcnn_r50-dconv-c3-c5_fpn_1x_coco',
    'convnext/mask-rcnn_convnext-t-p4-w7_fpn_amp-ms-crop-3x_coco',
)
SEGMENTORS = (
    'pspnet/pspnet_r50-d8_4xb2-40k_cityscapes-512x1024',
    'deeplabv3/deeplabv3_r50-d8_4xb2-40k_cityscapes-512x1024',
    'deeplabv3plus/deeplabv3plus_r50-d8_4xb2-40k_cityscapes-512x1024',
    'fcn/fcn_r50-d8_4xb2-40k_cityscapes-512x1024',
    'upernet/upernet_r50_4xb2-40k_cityscapes-512x1024',
    'ocrnet/ocrnet_hr18_4xb2-40k_cityscapes-512x1024',
    'hrnet/fcn_hr18_4xb2-40k_cityscapes-512x1024',
    'sem_fpn/fpn_r50_4xb2-80k_cityscapes-512x1024',
    'danet/danet_r50-d8_4xb2-40k_cityscapes-512x1024',
    'encnet/encnet_r50-d8_4xb2-40k_cityscapes-512x1024',
    'emanet/emanet_r50-d8_4xb2-80k_cityscapes-512x1024',
    'ann/ann_r50-d8_4xb2-40k_cityscapes-512x1024',
    'gcnet/gcnet_r50-d8_4xb2-40k_cityscapes-512x1024',
    'icnet/icnet_r50-d8_4xb2-80k_cityscapes-832x832',
    'point_rend/pointrend_r50_4xb2-80k_cityscapes-512x1024',
    'unet/unet-s5-d16_fcn_4xb4-160k_cityscapes-512x1024',
    'fastscnn/fast_scnn_8xb4-160k_cityscapes-512x1024',
    'bisenetv1/bisenetv1_r18-d32_4xb4-160k_cityscapes-1024x1024',
    'bisenetv2/bisenetv2_fcn_4xb4-160k_cityscapes-1024x1024',
    'stdc/stdc1_4xb12-80k_cityscapes-512x1024',
    'pidnet/pidnet-s_2xb6-120k_1024x1024-cityscapes',
    'ddrnet/ddrnet_23-slim_in1k-pre_2xb6-120k_cityscapes-1024x1024',
    'cgnet/cgnet_fcn_4xb4-60k_cityscapes-680x680',
    'erfnet/erfnet_fcn_4xb4-160k_cityscapes-512x1024',
    'mobilenet_v2/mobilenet-v2-d8_pspnet_4xb2-80k_cityscapes-512x1024',
    'mobilenet_v3/mobilenet-v3-d8-s_lraspp_4xb4-320k_cityscapes-512x1024',
    'segformer/segformer_mit-b0_8xb1-160k_cityscapes-1024x1024',
    'segnext/segnext_mscan-t_1xb16-adamw-160k_ade20k-512x512',
    'swin/swin-tiny-patch4-window7-in1k-pre_upernet_8xb2-160k_ade20k-512x512',
    'psanet/psanet_r50-d8_4xb2-40k_cityscapes-512x1024',
)
CONFIGS = (
    *(f'mmdet::{name}.py' for name in DETECTORS),
    *(f'mmseg::{name}.py' for name in SEGMENTORS),
)


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description='Check ReplaceActivation on configs.')
    parser.add_argument(
        'configs',
        nargs='*',
        metavar='CONFIG',
        help='config files; default: many configs of mmdet and mmseg',
    )
    parser.add_argument('--out', metavar='FILE.md', help='also write the table to this file')
    add_act_arguments(parser)
    parser.set_defaults(act='FReLU', act_include=['*'])
    return parser.parse_args(argv)


def row(config: str, verdict: Verdict) -> str:
    """Format one line of the table."""
    output = {True: 'equal', False: '**differs**', None: '-'}[verdict.equal]
    kept = '; '.join(f'{number}: {reason}' for reason, number in (verdict.kept or {}).items())
    cells = [
        '`' + config.replace('.py', '') + '`',
        f'{verdict.replaced} {verdict.kinds}'.strip(),
        f'{verdict.parameters:,}',
        output,
        'yes' if verdict.trained else 'no',
        verdict.problem or kept,
    ]
    return '| ' + ' | '.join(cell.replace('|', '/') for cell in cells) + ' |'


def table(rows: Sequence[str], act: str) -> str:
    """Format the Markdown table."""
    heads = [
        'config',
        f'replaced by {act}',
        'new parameters',
        'output',
        'trained',
        'what stays, or why it does not work',
    ]
    lines = ['| ' + ' | '.join(heads) + ' |', '|---' * len(heads) + '|', *rows]
    return '\n'.join(lines) + '\n'


@exit_on_user_error
def main(argv: Optional[Sequence[str]] = None) -> None:
    """Check all configs."""
    args = parse_args(argv)
    if args.out:
        require_target('--out', args.out)
    warnings.simplefilter('ignore')
    act_cfg = dict(type=args.act, **nested(args.act_cfg))
    rows: List[str] = []
    working = 0
    for config in args.configs or CONFIGS:
        try:
            cfg = read_config(config)
        except (ImportError, UserError) as error:
            verdict = Verdict(problem=gist(error))
        else:
            verdict = check_config(cfg, act_cfg, args.act_include, args.act_exclude)
        working += verdict.works
        rows.append(row(config, verdict))
        print(rows[-1], flush=True)
        gc.collect()
    print(f'{working} of {len(rows)} work. torch {torch.__version__}, CPU.')
    if args.out:
        with write_file(args.out) as stream:
            stream.write(table(rows, args.act))


if __name__ == '__main__':
    main()
