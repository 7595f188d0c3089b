#version 330 core
// A portrait's soft light, worked out once a vertex; everything is in the camera's space, where the lights stand. A large
// warm key, a cool fill from the other side, rims from behind, a sky and a floor. Light that has been inside skin comes out
// beside where it fell, and redder: the key wraps round the cheek, and its shadow's edge glows, further in red than in blue.
// The lens is long, so that the eye is taken to be far away, at +z.

layout(location = 0) in vec3 position;
layout(location = 1) in vec3 normal;
layout(location = 2) in vec4 light_seen;  // sky seen, key seen, depth of light's way inside, sheen
layout(location = 3) in vec4 color;  // rgb: square root of linear reflectance; a: gloss, 0 skin … 1 wet eye

#ifdef TEXTURES
layout(location = 4) in vec3 place_on;  // place, and which texture
out vec3 uv;
#endif

uniform mat4 V;
uniform mat4 P;

// Few values go on to the pixels: a software rasteriser pays for each once a triangle and once a pixel. With perspective:
// Mesa's interpolates "noperspective" wrongly where the image's edge clips a triangle.
out vec3 facing;
out vec3 matt;
out vec3 shine;  // how much of the key's broad lobe, of its fine one, of its window's mirror image

const vec3 KEY = vec3(1.33, 1.24, 1.13);
const vec3 FILL_AT = vec3(0.853, 0.085, 0.515);
const vec3 FILL = vec3(0.185, 0.22, 0.285);
const vec3 SKY = vec3(0.225, 0.245, 0.28);
const vec3 FLOOR = vec3(0.150, 0.112, 0.096);
const vec3 WRAP = vec3(0.44, 0.24, 0.16);
const vec3 RIM_LEFT_AT = vec3(-0.776, 0.352, -0.523);
const vec3 RIM_RIGHT_AT = vec3(0.786, 0.336, -0.519);
const vec3 RIM = vec3(0.72, 0.79, 0.90);
const vec3 MIRRORED_SKY = vec3(0.30, 0.33, 0.38);

void main()
{
    vec4 place = V * vec4(position, 1.0);
    facing = mat3(V) * normal;
    vec3 n = facing;
    float gloss = color.a;
    // Eyes, teeth and tongue are clear: light gets into them from more sides than they see, if they see any.
    // Eyes turn: what lies behind the lids at rest may be seen.
    float turns = gloss * gloss;
    turns *= turns * turns;
    float clear = 0.85 * gloss * (1.25 - gloss + 0.55 * turns) * min(light_seen.x * 5.0 + 0.35 * turns, 1.0);
    float sky = mix(light_seen.x, 1.0, clear);
    float seen = mix(light_seen.y, 1.0, clear);
    float soft = light_seen.z;

    vec3 wrap = WRAP * soft + 0.04;
    vec3 key = max((dot(n, KEY_AT) + wrap) / (1.0 + wrap), 0.0);
    key *= mix(key, vec3(1.0), 0.35);
    vec3 shadow = mix(vec3(seen * seen), vec3(seen), vec3(1.0, 0.45, 0.30) * soft);
    // What is hidden from the sky is lit by the skin round it: darker, and redder.
    vec3 hidden = mix(vec3(sky), vec3(1.0), vec3(0.16, 0.035, 0.02) * soft) * sky;
    vec3 light = KEY * key * mix(0.10, 1.0, sky) * (0.12 + 0.88 * shadow);
    light += FILL * max(dot(n, FILL_AT) * 0.72 + 0.28, 0.0) * hidden;
    light += mix(FLOOR, SKY, n.y * 0.5 + 0.5) * hidden;
    vec3 albedo = color.rgb * color.rgb;

    // What any shine keeps of its light here. Skin: much of the broad lobe, a little of the fine one. Wet things: the fine
    // one, and the window itself.
    float left = sky * sky * (0.4 + 0.6 * dot(albedo, vec3(0.6)) + gloss * gloss);
    float wet = gloss * gloss;
    float sheen = light_seen.w;
    shine = left * seen * vec3(0.040 * sheen + 0.06 * gloss, 0.075 * sheen + 0.55 * gloss * (1.0 - wet), 1.5 * wet * wet);

    float away = 1.0 - max(n.z, 0.0);
    float edge = away * away;
    float fresnel = 0.03 + 0.6 * edge * edge * away;
    float rims = max(dot(n, RIM_LEFT_AT), 0.0) + max(dot(n, RIM_RIGHT_AT), 0.0);
    vec3 rim = RIM * (rims * (0.10 + 0.9 * edge * away) * (0.5 + 0.4 * gloss));
    rim += MIRRORED_SKY * (fresnel * max(2.0 * n.z * n.y + 0.2, 0.0) * (0.35 + 1.2 * gloss));
    float turned = clamp(1.0 + 3.0 * n.z, 0.0, 1.0);  // 0 on what is seen from behind

    matt = albedo * light + rim * (left * turned);
#ifdef TEXTURES
    uv = place_on;
#endif
    gl_Position = P * place;
}
