#version 330 core
// What shines: skin's broad sheen and its finer one, lips and tongue, wet teeth, and eyes that mirror the key light's window;
// rims from behind. Written for a software rasteriser: no loops, no textures, powers by squaring, one root before the last.
// The lens is long, so that the eye is taken to be far away, at +z.

in vec3 facing;
in vec3 matt;
in vec4 sheen;  // gloss, strength of the broad shine, key seen, how much of any shine is left
out vec4 frag_color;

#ifdef PICTURES
in vec3 spot;
uniform sampler2DArray pictures;
#endif

const vec3 KEY = vec3(1.25, 1.16, 1.06);
const vec3 WINDOW_RIGHT = vec3(0.818, 0.0, 0.575);
const vec3 WINDOW_UP = vec3(0.307, 0.846, -0.437);
const vec3 RIM_LEFT_AT = vec3(-0.776, 0.352, -0.523);
const vec3 RIM_RIGHT_AT = vec3(0.786, 0.336, -0.519);
const vec3 RIM = vec3(0.72, 0.79, 0.90);
const vec3 SKY = vec3(0.30, 0.33, 0.38);

void main()
{
    vec3 n = normalize(facing);
    float gloss = sheen.x;
    float wet = gloss * gloss;

    float shine = max(dot(n, normalize(KEY_AT + vec3(0.0, 0.0, 1.0))), 0.0);
    float x4 = shine * shine;
    x4 *= x4;
    float x16 = x4 * x4;
    x16 *= x16;
    float x64 = x16 * x16;
    x64 *= x64;
    float lit = step(0.0, dot(n, KEY_AT)) * sheen.z;
    // Skin: much of the broad lobe, a little of the fine one. Wet things: the fine one, and the window itself.
    float lobes = sheen.y * (0.040 * x16 + 0.075 * x64) + gloss * (0.06 * x16 + 0.55 * x64 * (1.0 - wet));
    vec3 mirrored = 2.0 * n.z * n - vec3(0.0, 0.0, 1.0);
    vec2 off = abs(vec2(dot(mirrored, WINDOW_RIGHT), dot(mirrored, WINDOW_UP)));
    vec2 inside = clamp((vec2(0.20, 0.26) - off) * 14.0, 0.0, 1.0);
    float window = inside.x * inside.y * step(0.0, dot(mirrored, KEY_AT)) * wet * wet;

    float away = 1.0 - max(n.z, 0.0);
    float edge = away * away;
    float fresnel = 0.03 + 0.6 * edge * edge * away;
    float rims = max(dot(n, RIM_LEFT_AT), 0.0) + max(dot(n, RIM_RIGHT_AT), 0.0);
    vec3 shone = KEY * (lobes * lit + 1.5 * window * sheen.z);
    shone += RIM * (rims * (0.10 + 0.9 * edge * away) * (0.5 + 0.4 * gloss));
    shone += SKY * (fresnel * max(mirrored.y + 0.2, 0.0) * (0.35 + 1.2 * gloss));

    vec3 base = matt;
#ifdef PICTURES
    vec4 picture = texture(pictures, spot);
    if (picture.a < 0.5) discard;
    base *= picture.rgb * picture.rgb;
#endif
    vec3 color = gl_FrontFacing ? base + shone * sheen.w : base * 0.14;
    // The shoulder keeps highlights from clipping; the square root is the screen's gamma, as in the colours' encoding.
    color = color * (1.0 + 0.16 * color) / (1.0 + 0.40 * color);
    frag_color = vec4(sqrt(min(color * 1.10, 1.0)), 1.0);
}
