// What examples/cpp/fill.cpp calls of ONNX Runtime's C API, for tests where its headers are not installed.
// Our own words, not the library's file: the functions stand at their places in its table, which every version keeps,
// and the places between them are left blank. Source of the places: the public header of API version 1.
#pragma once
#include <stddef.h>
#include <stdint.h>

#define ORT_API_VERSION 1

typedef enum { ORT_LOGGING_LEVEL_ERROR = 3 } OrtLoggingLevel;
typedef enum { OrtArenaAllocator = 1 } OrtAllocatorType;
typedef enum { OrtMemTypeDefault = 0 } OrtMemType;
typedef enum { ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8 = 2 } ONNXTensorElementDataType;

typedef struct OrtStatus OrtStatus;
typedef struct OrtEnv OrtEnv;
typedef struct OrtSessionOptions OrtSessionOptions;
typedef struct OrtSession OrtSession;
typedef struct OrtRunOptions OrtRunOptions;
typedef struct OrtMemoryInfo OrtMemoryInfo;
typedef struct OrtValue OrtValue;
typedef void (*Unused)(void);

typedef struct {
  Unused unused_0[2];
  const char* (*GetErrorMessage)(const OrtStatus*);                                  // 2
  OrtStatus* (*CreateEnv)(OrtLoggingLevel, const char*, OrtEnv**);                   // 3
  Unused unused_4[3];
  OrtStatus* (*CreateSession)(const OrtEnv*, const char*, const OrtSessionOptions*, OrtSession**);  // 7
  Unused unused_8[1];
  OrtStatus* (*Run)(OrtSession*, const OrtRunOptions*, const char* const*, const OrtValue* const*, size_t,
                    const char* const*, size_t, OrtValue**);                         // 9
  OrtStatus* (*CreateSessionOptions)(OrtSessionOptions**);                           // 10
  Unused unused_11[19];
  OrtStatus* (*SessionGetInputCount)(const OrtSession*, size_t*);                    // 30
  Unused unused_31[18];
  OrtStatus* (*CreateTensorWithDataAsOrtValue)(const OrtMemoryInfo*, void*, size_t, const int64_t*, size_t,
                                               ONNXTensorElementDataType, OrtValue**);  // 49
  Unused unused_50[1];
  OrtStatus* (*GetTensorMutableData)(OrtValue*, void**);                             // 51
  Unused unused_52[17];
  OrtStatus* (*CreateCpuMemoryInfo)(OrtAllocatorType, OrtMemType, OrtMemoryInfo**);  // 69
} OrtApi;

typedef struct {
  const OrtApi* (*GetApi)(uint32_t);
  const char* (*GetVersionString)(void);
} OrtApiBase;

#ifdef __cplusplus
extern "C"
#endif
const OrtApiBase* OrtGetApiBase(void);
