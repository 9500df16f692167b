"""What is timed."""

MATMULS = ["10000x1000x2000", "1024x1024x1024", "512x512x512", "128x784x512", "64x512x10", "1x1024x1024", "4096x64x4096"]
# Of elements that take less than 32 bits: bf16 as the product of bf16 that it is, i8 in i32.
NARROWS = ["bf16 1024x1024x1024", "bf16 512x512x512", "bf16 128x784x512", "i8 1024x1024x1024", "i8 128x784x512"]
# Causal attention by itself: positions of a sequence, of which there are as many as make 2048; "gradient": in both directions.
ATTENTIONS = ["512", "2048", "512 gradient", "2048 gradient"]
ATTENTION = dict(positions=2048, heads=4, width=64)
# Convolutions of eight images by themselves: (function of bench/convolution.mlir, size, taps, channels in and out); "image" and
# "filter": their gradients.
CONVOLUTIONS = {
    "1x1": ("plain", 56, 1, 64, 256),
    "3x3 stride 2": ("strided", 57, 3, 64, 128),
    "5x5": ("plain", 28, 5, 32, 64),
    "3x3 dilated": ("dilated", 28, 3, 64, 64),
    "3x3 in 4 groups": ("grouped", 28, 3, 128, 128),
    "3x3 depthwise": ("depthwise", 56, 3, 64, 64),
}
IMAGES = 8
# model: (file under docs/examples, batch, optimiser, learning rate)
TRAININGS = {
    "mlp": ("bench/mlp.mlir", 128, "adam", 1e-3),
    "cnn": ("bench/cnn.mlir", 64, "sgd", 1e-2),
    "gpt": ("gpt.mlir", 8, "adam", 1e-3),
    "separable": ("bench/separable.mlir", 16, "sgd", 1e-2),
}
INFERENCES = [("mlp", 1), ("mlp", 64), ("cnn", 1), ("cnn", 64), ("gpt", 1), ("gpt", 8)]
INFERENCES += [("resnet", 1), ("mobile", 1), ("mobile", 8), ("bert", 1), ("bert", 8)]
# Files under docs/examples of models that are not trained here.
TEXTS = {"resnet": "bench/resnet.mlir", "mobile": "bench/mobile.mlir", "bert": "bench/bert.mlir"}
GPT = dict(layers=4, width=256, heads=4, time=128, tokens=512)
BERT = dict(layers=2, width=128, heads=2, time=128, tokens=30522)
# Stages of the residual network: name, channels; each begins with half the rows and columns but for the first.
STAGES = [("a", 64), ("b", 128), ("c", 256), ("d", 512)]
# Blocks of the separable network: name, channels in and out, stride.
BLOCKS = [("a", 32, 64, 1), ("b", 64, 128, 2), ("c", 128, 128, 1), ("d", 128, 256, 2)]
# Layers of the mobile network: channels out, stride.
LAYERS = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)] + 5 * [(512, 1)] + [(1024, 2), (1024, 1)]
ADAM = dict(beta1=0.9, beta2=0.999, eps=1e-8)
