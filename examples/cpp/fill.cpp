// Fill a hole with a file that `retouche export --form pipeline` wrote: ONNX Runtime's C API, binary PPM and PGM.
//   c++ -O2 fill.cpp -I ORT/include -L ORT/lib -lonnxruntime -o fill
//   ./fill network.onnx picture.ppm mask.pgm filled.ppm
#include <onnxruntime_c_api.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

static const OrtApi* ort = OrtGetApiBase()->GetApi(ORT_API_VERSION);

static void fail(const char* what, const char* why) { std::fprintf(stderr, "%s: %s\n", what, why), std::exit(2); }

static void check(OrtStatus* status) { if (status) fail("ONNX Runtime", ort->GetErrorMessage(status)); }

static std::vector<uint8_t> read(const char* path, const char* head, int channels, int64_t& width, int64_t& height) {
  std::FILE* file = std::fopen(path, "rb");
  long w = 0, h = 0;
  bool fits = file && std::fscanf(file, head, &w, &h) == 2 && w > 0 && h > 0 && w <= 20000 && h <= 20000;
  if (!fits || std::fgetc(file) == EOF) fail(path, "give binary PPM for the picture and PGM for the mask, of 8 bits");
  std::vector<uint8_t> pixels(size_t(w) * h * channels);
  if (std::fread(pixels.data(), 1, pixels.size(), file) != pixels.size()) fail(path, "it ends too soon");
  std::fclose(file);
  width = w, height = h;
  return pixels;
}

int main(int count, char** words) {
  if (count != 5) fail("usage", "fill network.onnx picture.ppm mask.pgm filled.ppm");
  int64_t width, height, across, down;
  auto picture = read(words[2], "P6 %ld %ld 255", 3, width, height);
  auto mask = read(words[3], "P5 %ld %ld 255", 1, across, down);
  if (width != across || height != down) fail(words[3], "give a mask of the picture's size");
  std::vector<uint8_t> sketch(mask.size());  // nothing drawn; only for networks that take a sketch
  OrtEnv* environment;
  OrtSessionOptions* options;
  OrtSession* session;
  OrtMemoryInfo* memory;
  size_t inputs;
  check(ort->CreateEnv(ORT_LOGGING_LEVEL_ERROR, "fill", &environment));
  check(ort->CreateSessionOptions(&options));
  check(ort->CreateSession(environment, words[1], options, &session));
  check(ort->SessionGetInputCount(session, &inputs));
  check(ort->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &memory));
  const int64_t colours[] = {1, height, width, 3}, plain[] = {1, height, width};
  const auto type = ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8;
  OrtValue *given[3], *filled = nullptr;
  check(ort->CreateTensorWithDataAsOrtValue(memory, picture.data(), picture.size(), colours, 4, type, &given[0]));
  check(ort->CreateTensorWithDataAsOrtValue(memory, mask.data(), mask.size(), plain, 3, type, &given[1]));
  check(ort->CreateTensorWithDataAsOrtValue(memory, sketch.data(), sketch.size(), plain, 3, type, &given[2]));
  const char *names[] = {"picture", "mask", "sketch"}, *result[] = {"filled"};
  check(ort->Run(session, nullptr, names, given, inputs, result, 1, &filled));
  uint8_t* pixels;
  check(ort->GetTensorMutableData(filled, reinterpret_cast<void**>(&pixels)));
  std::FILE* file = std::fopen(words[4], "wb");
  if (!file || std::fprintf(file, "P6\n%ld %ld\n255\n", long(width), long(height)) < 0) fail(words[4], "cannot be written");
  bool whole = std::fwrite(pixels, 1, picture.size(), file) == picture.size();
  if (std::fclose(file) || !whole) fail(words[4], "it was not written to its end");
}
