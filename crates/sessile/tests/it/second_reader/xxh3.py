"""XXH3 with 64 bits and seed 0, from its published specification. No packages needed."""

SECRET = bytes.fromhex(
    "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671f"
    "cb79e64eccc0e578825ad07dccff7221b8084674f743248ee03590e6813a264c"
    "3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8"
    "a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364"
    "eac5ac8334d3ebc3c581a0fffa1363eb170ddd51b7f0da49d316552629d4689e"
    "2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e"
)
MASK = 2**64 - 1
P32_1, P32_2, P32_3 = 0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D
P1, P2, P3 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
P4, P5 = 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5


def word(data, at):
    return int.from_bytes(data[at : at + 8], "little")


def half(data, at):
    return int.from_bytes(data[at : at + 4], "little")


def fold(a, b):
    product = a * b
    return (product ^ (product >> 64)) & MASK


def avalanche(h):
    h ^= h >> 37
    h = h * 0x165667919E3779F9 & MASK
    return h ^ (h >> 32)


def avalanche64(h):
    h ^= h >> 33
    h = h * P2 & MASK
    h ^= h >> 29
    h = h * P3 & MASK
    return h ^ (h >> 32)


def rotate(value, by):
    return (value << by | value >> (64 - by)) & MASK


def mix(data, at, secret):
    return fold(word(data, at) ^ word(SECRET, secret), word(data, at + 8) ^ word(SECRET, secret + 8))


def tiny(data):
    n = len(data)
    if n > 8:
        low = word(data, 0) ^ word(SECRET, 24) ^ word(SECRET, 32)
        high = word(data, n - 8) ^ word(SECRET, 40) ^ word(SECRET, 48)
        swapped = int.from_bytes(low.to_bytes(8, "little"), "big")
        return avalanche((n + swapped + high + fold(low, high)) & MASK)
    if n >= 4:
        h = half(data, n - 4) + (half(data, 0) << 32) ^ word(SECRET, 8) ^ word(SECRET, 16)
        h ^= rotate(h, 49) ^ rotate(h, 24)
        h = h * 0x9FB21C651E98DF25 & MASK
        h ^= (h >> 35) + n
        h = h * 0x9FB21C651E98DF25 & MASK
        return h ^ (h >> 28)
    if n:
        combined = data[0] << 16 | data[n >> 1] << 24 | data[n - 1] | n << 8
        return avalanche64(combined ^ half(SECRET, 0) ^ half(SECRET, 4))
    return avalanche64(word(SECRET, 56) ^ word(SECRET, 64))


def short(data):
    n = len(data)
    h = n * P1
    for i in reversed(range((n - 1) // 32 + 1)):
        h += mix(data, 16 * i, 32 * i) + mix(data, n - 16 * (i + 1), 32 * i + 16)
    return avalanche(h & MASK)


def middle(data):
    n = len(data)
    h = n * P1
    for i in range(8):
        h += mix(data, 16 * i, 16 * i)
    h = avalanche(h & MASK)
    for i in range(8, n // 16):
        h += mix(data, 16 * i, 16 * (i - 8) + 3)
    return avalanche((h + mix(data, n - 16, 136 - 17)) & MASK)


def accumulate(lanes, data, at, secret):
    for i in range(8):
        value = word(data, at + 8 * i)
        keyed = value ^ word(SECRET, secret + 8 * i)
        lanes[i ^ 1] = lanes[i ^ 1] + value & MASK
        lanes[i] = lanes[i] + (keyed & 0xFFFFFFFF) * (keyed >> 32) & MASK


def scramble(lanes):
    for i in range(8):
        lanes[i] = (lanes[i] ^ lanes[i] >> 47 ^ word(SECRET, 128 + 8 * i)) * P32_1 & MASK


def long(data):
    n = len(data)
    lanes = [P32_3, P1, P2, P3, P4, P32_2, P5, P32_1]
    for stripe in range((n - 1) // 64):
        accumulate(lanes, data, 64 * stripe, 8 * (stripe % 16))
        if stripe % 16 == 15:
            scramble(lanes)
    accumulate(lanes, data, n - 64, 192 - 64 - 7)
    h = n * P1
    for i in range(4):
        key = 11 + 16 * i
        h += fold(lanes[2 * i] ^ word(SECRET, key), lanes[2 * i + 1] ^ word(SECRET, key + 8))
    return avalanche(h & MASK)


def xxh3(data):
    for longest, hashed in ((16, tiny), (128, short), (240, middle)):
        if len(data) <= longest:
            return hashed(data)
    return long(data)
