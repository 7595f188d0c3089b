#version 330 core
// A portrait's soft light, worked out once a vertex; everything is in the camera's space, where the lights stand. A large
// warm key, a cool fill from the other side, a sky and a floor. Light that has been inside skin comes out beside where it
// fell, and redder: the key wraps round the cheek, and its shadow's edge glows, further in red than in blue.

layout(location = 0) in vec3 position;
layout(location = NORMAL_LOC) in vec3 normal;
layout(location = TANGENT_LOC) in vec4 tangent;  // not a tangent: sky seen, key seen, depth of light's way inside, sheen
layout(location = COLOR_0_LOC) in vec4 color_0;  // rgb: square root of linear reflectance; a: gloss, 0 skin … 1 wet eye

#ifdef PICTURES
layout(location = 3) in vec2 place_on;
layout(location = 4) in vec2 picture_of;  // x: which
out vec3 spot;
#endif

uniform mat4 V;
uniform mat4 P;

// Few values go on to the pixels: a software rasteriser pays for each of them once a triangle.
out vec3 facing;
out vec3 matt;
out vec4 sheen;  // gloss, strength of the broad shine, key seen, how much of any shine is left

const vec3 KEY = vec3(1.33, 1.24, 1.13);
const vec3 FILL_AT = vec3(0.853, 0.085, 0.515);
const vec3 FILL = vec3(0.185, 0.22, 0.285);
const vec3 SKY = vec3(0.225, 0.245, 0.28);
const vec3 FLOOR = vec3(0.150, 0.112, 0.096);
const vec3 WRAP = vec3(0.44, 0.24, 0.16);

void main()
{
    vec4 place = V * vec4(position, 1.0);
    facing = mat3(V) * normal;
    vec3 n = facing;
    // Eyes, teeth and tongue are clear: light gets into them from more sides than they see, if they see any.
    float clear = 0.85 * color_0.a * (1.25 - color_0.a) * min(tangent.x * 3.2, 1.0);
    float sky = mix(tangent.x, 1.0, clear);
    float seen = mix(tangent.y, 1.0, clear);
    float soft = tangent.z;

    vec3 wrap = WRAP * soft + 0.04;
    vec3 key = max((dot(n, KEY_AT) + wrap) / (1.0 + wrap), 0.0);
    key *= mix(key, vec3(1.0), 0.35);
    vec3 shadow = mix(vec3(seen * seen), vec3(seen), vec3(1.0, 0.45, 0.30) * soft);
    // What is hidden from the sky is lit by the skin round it: darker, and redder.
    vec3 hidden = mix(vec3(sky), vec3(1.0), vec3(0.16, 0.035, 0.02) * soft) * sky;
    vec3 light = KEY * key * mix(0.10, 1.0, sky) * (0.12 + 0.88 * shadow);
    light += FILL * max(dot(n, FILL_AT) * 0.72 + 0.28, 0.0) * hidden;
    light += mix(FLOOR, SKY, n.y * 0.5 + 0.5) * hidden;

    vec3 albedo = color_0.rgb * color_0.rgb;
    matt = albedo * light;
    float left = sky * sky * (0.4 + 0.6 * dot(albedo, vec3(0.6)) + color_0.a * color_0.a);
    sheen = vec4(color_0.a, tangent.w, seen, left);
#ifdef PICTURES
    spot = vec3(place_on, picture_of.x);
#endif
    gl_Position = P * place;
}
