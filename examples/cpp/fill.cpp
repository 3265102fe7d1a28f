// Fill a hole with a file that `retouche export --form pipeline` wrote: ONNX Runtime's C API, binary PPM and PGM.
//   c++ -O2 fill.cpp -I ORT/include -L ORT/lib -lonnxruntime -o fill
//   ./fill network.onnx picture.ppm mask.pgm filled.ppm
#include <onnxruntime_c_api.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

static const OrtApi* ort = OrtGetApiBase()->GetApi(ORT_API_VERSION);

static void check(OrtStatus* status) {
  if (!status) return;
  std::fprintf(stderr, "%s\n", ort->GetErrorMessage(status));
  std::exit(2);
}

static std::vector<uint8_t> read(const char* path, int channels, int64_t& width, int64_t& height) {
  std::FILE* file = std::fopen(path, "rb");
  long w = 0, h = 0;
  if (!file || std::fscanf(file, channels == 3 ? "P6 %ld %ld 255" : "P5 %ld %ld 255", &w, &h) != 2 || w < 1 || h < 1 ||
      w > 20000 || h > 20000 || std::fgetc(file) == EOF) {
    std::fprintf(stderr, "%s is no binary P%d of 8 bits\n", path, channels == 3 ? 6 : 5);
    std::exit(2);
  }
  width = w, height = h;
  std::vector<uint8_t> pixels(size_t(w) * h * channels);
  if (std::fread(pixels.data(), 1, pixels.size(), file) != pixels.size()) std::exit(2);
  std::fclose(file);
  return pixels;
}

int main(int count, char** words) {
  if (count != 5) return std::fprintf(stderr, "usage: fill network.onnx picture.ppm mask.pgm filled.ppm\n"), 2;
  int64_t width, height, other_width, other_height;
  auto picture = read(words[2], 3, width, height), mask = read(words[3], 1, other_width, other_height);
  if (width != other_width || height != other_height) return std::fprintf(stderr, "mask of another size\n"), 2;
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
  if (!file) return std::fprintf(stderr, "%s cannot be written\n", words[4]), 2;
  std::fprintf(file, "P6\n%ld %ld\n255\n", long(width), long(height));
  std::fwrite(pixels, 1, picture.size(), file);
  return std::fclose(file) ? 2 : 0;
}
