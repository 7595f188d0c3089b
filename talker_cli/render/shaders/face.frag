#version 330 core
// What must be sharp within a triangle: the key light's shine on skin, lips and wet things, and its window in the eyes.
// Written for a software rasteriser: no loops, powers by squaring, no division, one root before the last.

in vec3 facing;
in vec3 matt;
in vec3 shine;  // how much of the key's broad lobe, of its fine one, of its window's mirror image
out vec4 frag_color;

#ifdef TEXTURES
in vec3 uv;
uniform sampler2DArray textures;
#endif

const vec3 KEY = vec3(1.25, 1.16, 1.06);
const vec3 WINDOW_RIGHT = vec3(0.818, 0.0, 0.575);
const vec3 WINDOW_UP = vec3(0.307, 0.846, -0.437);

void main()
{
    vec3 n = facing * inversesqrt(dot(facing, facing));
    float x = max(dot(n, normalize(KEY_AT + vec3(0.0, 0.0, 1.0))), 0.0);
    float x4 = x * x;
    x4 *= x4;
    float x16 = x4 * x4;
    x16 *= x16;
    float x64 = x16 * x16;
    x64 *= x64;
    // The window's sides, seen in the mirror 2 n.z n - z.
    vec2 off = abs(2.0 * n.z * vec2(dot(n, WINDOW_RIGHT), dot(n, WINDOW_UP)) - vec2(WINDOW_RIGHT.z, WINDOW_UP.z));
    vec2 inside = clamp((vec2(0.20, 0.26) - off) * 14.0, 0.0, 1.0);
    float lit = step(0.0, dot(n, KEY_AT));

    vec3 base = matt;
#ifdef TEXTURES
    vec4 texel = texture(textures, uv);
    if (texel.a < 0.5) discard;
    base *= texel.rgb * texel.rgb;
#endif
    vec3 color = base + KEY * (lit * (shine.x * x16 + shine.y * x64 + shine.z * inside.x * inside.y));
#ifdef OPEN
    color = gl_FrontFacing ? color : base * 0.14;  // what is seen from behind
#endif
    // The shoulder keeps highlights from clipping; the square root is the screen's gamma, as in the colours' encoding.
    color *= 1.10 - color * (0.2508 - 0.0627 * color);
    frag_color = vec4(sqrt(min(color, 1.0)), 1.0);
}
