"""The ten example bodies that the service's own documentation publishes, as facts: model, input, unknown parameters."""

_FOLDER = "https://h2.inkwai.com/bs2/upload-ylab-stunt/se/ai_portal_queue_mmu_image_upscale_aiweb/"
_TWO = [
    "https://replicate.delivery/xezq/Q9jOVfT4nmT6YaUGe7fwMe85kYPNziFq18j850Sg6YvPlk0WB/tmpzq6ncmxa.jpg",
    _FOLDER + "3214b798-e1b4-4b00-b7af-72b5b0417420_raw_image_0.jpg",
]
_ONE = "https://replicate.delivery/xezq/XfwWjHJ7HfrmXE6ukuLVEpXWfeQ3PQeRI5mApuLXRxST7XMmC/tmpc91tlq20.png"
_SITE = "https://filesystem.site/cdn/20250414/chxiLc2O45zoLT8BCrQ6WQlTvGDDnK.png"
_CAKE = 'black forest gateau cake spelling out the words "FLUX SCHNELL", tasty, food photography, dynamic shot'
_PEAK = "a majestic snow-capped mountain peak bathed in a warm glow of the setting sun"

_MERGE = {
    "prompt": "Merge images and return the main subject within the image.",
    "input_images": _TWO,
    "output_format": "jpg",
    "aspect_ratio": "16:9",
}
_GATEAU = {
    "prompt": _CAKE,
    "input_image": _ONE,
    "output_format": "jpg",
    "aspect_ratio": "16:9",
    "output_quality": 80,
    "safety_tolerance": 2,
    "prompt_upsampling": True,
}
_MOUNTAIN = {
    "raw": False,
    "prompt": _PEAK,
    "aspect_ratio": "3:2",
    "output_format": "jpg",
    "safety_tolerance": 2,
    "image_prompt_strength": 0.1,
}
_ECHOED = {
    "aspect_ratio": "16:9",
    "input_image": _TWO[1],
    "input_image_2": _ONE,
    "input_image_3": _SITE,
    "input_image_4": _SITE,
    "output_format": "jpg",
    "prompt": _CAKE,
}
_GENERAL = {
    "prompt": "your prompt here",
    "resolution": "1 MP",
    "aspect_ratio": "1:1",
    "output_format": "webp",
    "output_quality": 80,
    "safety_tolerance": 2,
}
_SEVERAL = ("input_image_2", "input_image_3", "input_image_4")

BODIES = {
    "general": ("flux-2-pro", _GENERAL, ()),
    "kontext-max": ("flux-kontext-max", _MERGE, ("input_images",)),
    "kontext-pro": ("flux-kontext-pro", _MERGE, ("input_images",)),
    "kontext-max, echoed": ("flux-kontext-max", _ECHOED, _SEVERAL),
    "kontext-pro, echoed": ("flux-kontext-pro", _ECHOED, _SEVERAL),
    "schnell": ("flux-schnell", _GATEAU, ("input_image", "safety_tolerance", "prompt_upsampling")),
    "pro": ("flux-pro", _GATEAU, ("input_image",)),
    "dev": ("flux-dev", _GATEAU, ("input_image", "safety_tolerance", "prompt_upsampling")),
    "1.1-pro-ultra": ("flux-1.1-pro-ultra", _MOUNTAIN, ()),
    "1.1-pro": ("flux-1.1-pro", _MOUNTAIN, ("raw", "image_prompt_strength")),
}
"""By a short name: the model's slug, the published input, and the parameters in it that the model does not have."""
