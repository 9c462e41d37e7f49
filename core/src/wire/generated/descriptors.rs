// Generated from core/proto by build/tests/wire.rs; do not edit.

/// The encoded `FileDescriptorSet` of package `plugin`, with its imports.
pub(crate) const PLUGIN: &[u8] = b"\
\n\xc4\x02\n\x18plugin/grpc_broker.proto\x12\x06plugin\"\xd2\x01\n\x08ConnInfo\x12\x1d\n\nservic\
e_id\x18\x01\x20\x01(\rR\tserviceId\x12\x18\n\x07network\x18\x02\x20\x01(\tR\x07network\x12\x18\n\x07address\x18\x03\
\x20\x01(\tR\x07address\x12,\n\x05knock\x18\x04\x20\x01(\x0b2\x16.plugin.ConnInfo.KnockR\x05knock\x1a\
E\n\x05Knock\x12\x14\n\x05knock\x18\x01\x20\x01(\x08R\x05knock\x12\x10\n\x03ack\x18\x02\x20\x01(\x08R\x03ack\x12\x14\n\x05error\x18\x03\x20\
\x01(\tR\x05error2C\n\nGRPCBroker\x125\n\x0bStartStream\x12\x10.plugin.ConnInfo\x1a\x10.\
plugin.ConnInfo(\x010\x01b\x06proto3\ns\n\x1cplugin/grpc_controller.proto\x12\
\x06plugin\"\x07\n\x05Empty2:\n\x0eGRPCController\x12(\n\x08Shutdown\x12\r.plugin.Empt\
y\x1a\r.plugin.Emptyb\x06proto3\n\xbe\x01\n\x1bgoogle/protobuf/empty.proto\x12\x0fgo\
ogle.protobuf\"\x07\n\x05EmptyB}\n\x13com.google.protobufB\nEmptyProtoP\x01Z\
.google.golang.org/protobuf/types/known/emptypb\xf8\x01\x01\xa2\x02\x03GPB\xaa\x02\x1eG\
oogle.Protobuf.WellKnownTypesb\x06proto3\n\x96\x02\n\x17plugin/grpc_stdio.\
proto\x12\x06plugin\x1a\x1bgoogle/protobuf/empty.proto\"\x84\x01\n\tStdioData\x123\n\x07\
channel\x18\x01\x20\x01(\x0e2\x19.plugin.StdioData.ChannelR\x07channel\x12\x12\n\x04data\x18\x02\x20\
\x01(\x0cR\x04data\".\n\x07Channel\x12\x0b\n\x07INVALID\x10\x00\x12\n\n\x06STDOUT\x10\x01\x12\n\n\x06STDERR\x10\x022G\n\
\tGRPCStdio\x12:\n\x0bStreamStdio\x12\x16.google.protobuf.Empty\x1a\x11.plugin.S\
tdioData0\x01b\x06proto3\
";

/// The encoded `FileDescriptorSet` of package `grpc.health.v1`, with its imports.
pub(crate) const HEALTH: &[u8] = b"\
\n\xf5\x05\n\x1bgrpc/health/v1/health.proto\x12\x0egrpc.health.v1\".\n\x12HealthCh\
eckRequest\x12\x18\n\x07service\x18\x01\x20\x01(\tR\x07service\"\xb1\x01\n\x13HealthCheckResponse\
\x12I\n\x06status\x18\x01\x20\x01(\x0e21.grpc.health.v1.HealthCheckResponse.Servin\
gStatusR\x06status\"O\n\rServingStatus\x12\x0b\n\x07UNKNOWN\x10\x00\x12\x0b\n\x07SERVING\x10\x01\x12\x0f\
\n\x0bNOT_SERVING\x10\x02\x12\x13\n\x0fSERVICE_UNKNOWN\x10\x03\"\x13\n\x11HealthListRequest\"\xc4\x01\
\n\x12HealthListResponse\x12L\n\x08statuses\x18\x01\x20\x03(\x0b20.grpc.health.v1.Heal\
thListResponse.StatusesEntryR\x08statuses\x1a`\n\rStatusesEntry\x12\x10\n\x03k\
ey\x18\x01\x20\x01(\tR\x03key\x129\n\x05value\x18\x02\x20\x01(\x0b2#.grpc.health.v1.HealthCheckRes\
ponseR\x05value:\x028\x012\xfd\x01\n\x06Health\x12P\n\x05Check\x12\".grpc.health.v1.Health\
CheckRequest\x1a#.grpc.health.v1.HealthCheckResponse\x12M\n\x04List\x12!.\
grpc.health.v1.HealthListRequest\x1a\".grpc.health.v1.HealthList\
Response\x12R\n\x05Watch\x12\".grpc.health.v1.HealthCheckRequest\x1a#.grpc\
.health.v1.HealthCheckResponse0\x01b\x06proto3\
";

/// The encoded `FileDescriptorSet` of package `grpc.reflection.v1`, with its imports.
pub(crate) const REFLECTION_V1: &[u8] = b"\
\n\xe8\x0c\n#grpc/reflection/v1/reflection.proto\x12\x12grpc.reflection.v1\
\"\xf3\x02\n\x17ServerReflectionRequest\x12\x12\n\x04host\x18\x01\x20\x01(\tR\x04host\x12*\n\x10file_by_\
filename\x18\x03\x20\x01(\tH\x00R\x0efileByFilename\x126\n\x16file_containing_symbol\x18\x04\
\x20\x01(\tH\x00R\x14fileContainingSymbol\x12b\n\x19file_containing_extension\x18\x05\x20\
\x01(\x0b2$.grpc.reflection.v1.ExtensionRequestH\x00R\x17fileContainingE\
xtension\x12B\n\x1dall_extension_numbers_of_type\x18\x06\x20\x01(\tH\x00R\x19allExtens\
ionNumbersOfType\x12%\n\rlist_services\x18\x07\x20\x01(\tH\x00R\x0clistServicesB\x11\n\x0fm\
essage_request\"f\n\x10ExtensionRequest\x12\'\n\x0fcontaining_type\x18\x01\x20\x01(\tR\
\x0econtainingType\x12)\n\x10extension_number\x18\x02\x20\x01(\x05R\x0fextensionNumber\"\xae\
\x04\n\x18ServerReflectionResponse\x12\x1d\n\nvalid_host\x18\x01\x20\x01(\tR\tvalidHost\x12V\
\n\x10original_request\x18\x02\x20\x01(\x0b2+.grpc.reflection.v1.ServerReflecti\
onRequestR\x0foriginalRequest\x12f\n\x18file_descriptor_response\x18\x04\x20\x01(\x0b\
2*.grpc.reflection.v1.FileDescriptorResponseH\x00R\x16fileDescript\
orResponse\x12r\n\x1eall_extension_numbers_response\x18\x05\x20\x01(\x0b2+.grpc.re\
flection.v1.ExtensionNumberResponseH\x00R\x1ballExtensionNumbersRe\
sponse\x12_\n\x16list_services_response\x18\x06\x20\x01(\x0b2\'.grpc.reflection.v1.\
ListServiceResponseH\x00R\x14listServicesResponse\x12J\n\x0eerror_respons\
e\x18\x07\x20\x01(\x0b2!.grpc.reflection.v1.ErrorResponseH\x00R\rerrorResponseB\
\x12\n\x10message_response\"L\n\x16FileDescriptorResponse\x122\n\x15file_descri\
ptor_proto\x18\x01\x20\x03(\x0cR\x13fileDescriptorProto\"j\n\x17ExtensionNumberResp\
onse\x12$\n\x0ebase_type_name\x18\x01\x20\x01(\tR\x0cbaseTypeName\x12)\n\x10extension_numb\
er\x18\x02\x20\x03(\x05R\x0fextensionNumber\"T\n\x13ListServiceResponse\x12=\n\x07service\x18\
\x01\x20\x03(\x0b2#.grpc.reflection.v1.ServiceResponseR\x07service\"%\n\x0fServi\
ceResponse\x12\x12\n\x04name\x18\x01\x20\x01(\tR\x04name\"S\n\rErrorResponse\x12\x1d\n\nerror_cod\
e\x18\x01\x20\x01(\x05R\terrorCode\x12#\n\rerror_message\x18\x02\x20\x01(\tR\x0cerrorMessage2\x89\x01\n\x10\
ServerReflection\x12u\n\x14ServerReflectionInfo\x12+.grpc.reflection.v\
1.ServerReflectionRequest\x1a,.grpc.reflection.v1.ServerReflect\
ionResponse(\x010\x01b\x06proto3\
";

/// The encoded `FileDescriptorSet` of package `grpc.reflection.v1alpha`, with its imports.
pub(crate) const REFLECTION_V1ALPHA: &[u8] = b"\
\n\x9f\r\n(grpc/reflection/v1alpha/reflection.proto\x12\x17grpc.reflecti\
on.v1alpha\"\xf8\x02\n\x17ServerReflectionRequest\x12\x12\n\x04host\x18\x01\x20\x01(\tR\x04host\x12*\
\n\x10file_by_filename\x18\x03\x20\x01(\tH\x00R\x0efileByFilename\x126\n\x16file_containin\
g_symbol\x18\x04\x20\x01(\tH\x00R\x14fileContainingSymbol\x12g\n\x19file_containing_ex\
tension\x18\x05\x20\x01(\x0b2).grpc.reflection.v1alpha.ExtensionRequestH\x00R\x17\
fileContainingExtension\x12B\n\x1dall_extension_numbers_of_type\x18\x06\x20\x01\
(\tH\x00R\x19allExtensionNumbersOfType\x12%\n\rlist_services\x18\x07\x20\x01(\tH\x00R\x0cli\
stServicesB\x11\n\x0fmessage_request\"f\n\x10ExtensionRequest\x12\'\n\x0fcontain\
ing_type\x18\x01\x20\x01(\tR\x0econtainingType\x12)\n\x10extension_number\x18\x02\x20\x01(\x05R\x0fex\
tensionNumber\"\xc7\x04\n\x18ServerReflectionResponse\x12\x1d\n\nvalid_host\x18\x01\x20\x01\
(\tR\tvalidHost\x12[\n\x10original_request\x18\x02\x20\x01(\x0b20.grpc.reflection.v1\
alpha.ServerReflectionRequestR\x0foriginalRequest\x12k\n\x18file_descr\
iptor_response\x18\x04\x20\x01(\x0b2/.grpc.reflection.v1alpha.FileDescripto\
rResponseH\x00R\x16fileDescriptorResponse\x12w\n\x1eall_extension_numbers\
_response\x18\x05\x20\x01(\x0b20.grpc.reflection.v1alpha.ExtensionNumberRes\
ponseH\x00R\x1ballExtensionNumbersResponse\x12d\n\x16list_services_respon\
se\x18\x06\x20\x01(\x0b2,.grpc.reflection.v1alpha.ListServiceResponseH\x00R\x14li\
stServicesResponse\x12O\n\x0eerror_response\x18\x07\x20\x01(\x0b2&.grpc.reflection\
.v1alpha.ErrorResponseH\x00R\rerrorResponseB\x12\n\x10message_response\"\
L\n\x16FileDescriptorResponse\x122\n\x15file_descriptor_proto\x18\x01\x20\x03(\x0cR\x13fi\
leDescriptorProto\"j\n\x17ExtensionNumberResponse\x12$\n\x0ebase_type_na\
me\x18\x01\x20\x01(\tR\x0cbaseTypeName\x12)\n\x10extension_number\x18\x02\x20\x03(\x05R\x0fextensionN\
umber\"Y\n\x13ListServiceResponse\x12B\n\x07service\x18\x01\x20\x03(\x0b2(.grpc.reflect\
ion.v1alpha.ServiceResponseR\x07service\"%\n\x0fServiceResponse\x12\x12\n\x04n\
ame\x18\x01\x20\x01(\tR\x04name\"S\n\rErrorResponse\x12\x1d\n\nerror_code\x18\x01\x20\x01(\x05R\terrorC\
ode\x12#\n\rerror_message\x18\x02\x20\x01(\tR\x0cerrorMessage2\x93\x01\n\x10ServerReflectio\
n\x12\x7f\n\x14ServerReflectionInfo\x120.grpc.reflection.v1alpha.ServerRe\
flectionRequest\x1a1.grpc.reflection.v1alpha.ServerReflectionRe\
sponse(\x010\x01b\x06proto3\
";

/// The encoded `FileDescriptorSet` of package `outboard.log`, with its imports.
pub(crate) const LOG_LEVEL: &[u8] = b"\
\n\xc3\x01\n\x18outboard/log_level.proto\x12\x0coutboard.log\"#\n\x0bWantedLevel\x12\x14\
\n\x05level\x18\x01\x20\x01(\tR\x05level\"&\n\x08LevelSet\x12\x1a\n\x08followed\x18\x01\x20\x01(\x08R\x08followed\
2D\n\x08LogLevel\x128\n\x03Set\x12\x19.outboard.log.WantedLevel\x1a\x16.outboard.lo\
g.LevelSetb\x06proto3\
";
